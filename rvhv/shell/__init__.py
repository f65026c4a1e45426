"""F9: the debugger's shell on a terminal: prompt, completion, colours, pager, and the guests' consoles."""
