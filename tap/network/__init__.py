"""The network that takes photographs: photograph module, 2D generator, their parts and variants, and the task heads."""
