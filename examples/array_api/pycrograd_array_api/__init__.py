"""A backend over the Python array API."""
