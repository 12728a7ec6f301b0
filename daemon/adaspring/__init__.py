"""AdaSpring: a neural network that evolves with the device it runs on.

A daemon for Raspberry Pi and Jetson boards keeps a compressed subnet of one
self-evolutionary network answering frames on a ZeroMQ socket, and swaps it for
a better one when battery, temperature, memory or event rate change. The method
is AdaSpring (Liu et al., arXiv 2101.11800).
"""

__version__ = "0.1.0"
