"""What must hold at one service, whichever sagas it takes part in: a module a participant, found
by its name (`loadtests.audit.checking.ServiceRules` says what it declares).
"""
