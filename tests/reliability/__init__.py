"""What a caller sees when something goes wrong: each fault with each kind of call, and the page that lists them."""
