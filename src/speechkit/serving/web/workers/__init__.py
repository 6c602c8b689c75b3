"""Engines that are kept: worker processes that many runs share."""
