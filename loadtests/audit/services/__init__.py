"""The rules for each service, whatever the saga: a module per participant, found by its name, which
declares `loadtests.audit.checking.ServiceRules`.
"""
