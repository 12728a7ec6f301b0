"""Design time: supernet, ensemble training, statistics, accuracy tables, evaluation."""

import os

# oneDNN compiles a kernel for each shape and keeps 1,024 of them. Random subnets have some
# thousand shapes; keeping them all halves the time of a step. Read when torch first convolves.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
