"""reservas: slots, and their bookings.

Owns         slots and their prices, bookings, the managers' decisions on them
Offers       POST /bookings, the saga booking in every pattern; accept, approve and reserve
Calls        coordinators: to cancel a booking
Sagas        the steps that their definitions give it: manage.py sagas show
"""
