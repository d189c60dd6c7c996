"""reservas: slots, and who has booked which of them, from when to when.

Owns         slots and their prices, bookings, the manager's word on each
Offers       POST /bookings, the saga booking in every pattern; accept, approve and reserve
Calls        coordinators: to cancel a booking
Sagas        whatever their pages ask of it: manage.py sagas show
"""
