"""pagos: who paid what, and what was given back.

Owns         payments, refunds; the simulated card network (`gateway`)
Offers       charge and refund; pad, which changes nothing; payments outside of any saga
Sagas        whatever their pages ask of it: manage.py sagas show
"""
