"""Arrays and kernels. Knows neither tensors nor the graph."""
