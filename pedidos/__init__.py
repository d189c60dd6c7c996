"""pedidos: orders with an agreed total, without a cart.

Owns         orders: their items, and how their sagas ended
Offers       POST /orders and /orders/create_order for the sagas of its own, in every pattern;
             accept and fail, complete, confirm and unconfirm, dispatch
Calls        inventario: the products of a sku; coordinators, pagos and envios: to show an order
Sagas        the steps that their definitions give it: manage.py sagas show
"""
