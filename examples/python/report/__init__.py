"""A report over orders: JSON in, SQL in the middle, text or JSON out."""
