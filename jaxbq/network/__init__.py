"""The network: layers, activations, targets, products; in `files`, other libraries' networks."""
