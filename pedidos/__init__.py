"""pedidos: orders with an agreed total, without a cart.

Owns         orders: what was asked for, and how its saga ended
Offers       POST /orders and /orders/create_order for the sagas of its own, in every pattern;
             accept and fail, complete, confirm and unconfirm, dispatch
Calls        inventario: which product is meant; coordinators, pagos and envios: to show an order
Sagas        whatever their pages ask of it: manage.py sagas show
"""
