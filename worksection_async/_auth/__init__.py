"""Credentials and tokens: what signs a request, where tokens are stored, and how OAuth2 renews them."""
