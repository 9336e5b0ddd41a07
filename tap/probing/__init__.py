"""What a frozen backbone knows: features, and a linear probe of them."""
