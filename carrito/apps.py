from coordination import service


class CarritoConfig(service.OwnerConfig):
    name = "carrito"
    verbose_name = "Carrito: carts, checkouts and orders"
    below = "checkouts"
