"""The same kernels by other libraries, each in an environment of its own."""
