"""inventario: what there is, and what is reserved for whom.

Owns         products (available, reserved, sold), reservations and their lines
Offers       the catalogue, and the prices of several products at once; reserve and unreserve,
             commit and restore; pad, which changes nothing
Sagas        whatever their pages ask of it: manage.py sagas show
"""
