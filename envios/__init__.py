"""envios: who brings what to whom.

Owns         couriers (their area, their capacity, how many deliveries each has now), deliveries
Offers       schedule and cancel; couriers to be added; a delivery on its way, and delivered
Sagas        whatever their pages ask of it: manage.py sagas show
"""
