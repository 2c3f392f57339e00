"""The comparison: the same pickle, served by this bundle and by what a bank could pick instead."""
