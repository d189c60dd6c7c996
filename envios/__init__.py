"""envios: couriers, and the deliveries of orders.

Owns         couriers (their area, their capacity, how many deliveries each has now), deliveries
Offers       schedule and cancel; adding couriers; marking a delivery in transit or delivered
Sagas        the steps that their definitions give it: manage.py sagas show
"""
