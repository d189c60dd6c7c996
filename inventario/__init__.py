"""inventario: the stock of products, and reservations of it.

Owns         products (available, reserved, sold), reservations and their lines
Offers       the catalogue, and the prices of several products at once; reserve and unreserve,
             commit and restore; pad, which changes nothing
Sagas        the steps that their definitions give it: manage.py sagas show
"""
