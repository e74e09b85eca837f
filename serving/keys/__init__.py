"""Write keys, for administrators: the endpoints and `cdp key`. `serving.definitions.keys` keeps them."""
