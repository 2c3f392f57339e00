"""The page: LimpiApp's architecture as one file, to be clicked through without a network."""
