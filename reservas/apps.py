from coordination import service


class ReservasConfig(service.OwnerConfig):
    name = "reservas"
    verbose_name = "Reservas: slots and bookings"
    below = "bookings"
