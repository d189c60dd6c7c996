"""pagos: payments and refunds.

Owns         payments, refunds, credits
Offers       charge and refund; payments that customers confirm; bills; pad, which changes nothing;
             payments outside of sagas
Calls        tarjetas, the simulated card network
Sagas        the steps that their definitions give it: manage.py sagas show
"""
