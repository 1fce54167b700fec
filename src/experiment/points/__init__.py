"""The problem that ships with the project: points on a plane, and the network that classifies them."""
