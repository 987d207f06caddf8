"""AgeMem: one interface to long-term memory and to the working context, and who operates it."""
