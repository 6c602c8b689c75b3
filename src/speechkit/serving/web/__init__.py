"""The server of the page and the API."""
