"""The API's resources, as a client offers them."""
