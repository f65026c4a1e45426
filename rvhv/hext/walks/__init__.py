"""Translations to look at: walks access by access, and address spaces in ranges. Nothing here is compiled for the hart."""
