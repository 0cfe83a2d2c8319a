"""The `edgeinfer` command. Rooms and `converters` register their commands by entry point."""
