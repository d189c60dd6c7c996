from coordination import service


class CarritoConfig(service.Owner):
    name = "carrito"
    verbose_name = "Carrito: carts, checkouts and orders"
