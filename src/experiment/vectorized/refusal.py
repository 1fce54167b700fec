"""Why runs cannot be trained together with others."""


class NotVectorizable(Exception):
    """A run cannot be trained together with others; the message is the reason, in words."""
