from coordination import service


class TripsConfig(service.OwnerConfig):
    name = "trips"
    below = "trips"
