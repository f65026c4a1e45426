"""F0: the language in which an ISA is described. It knows no instruction, no CSR and no trap cause."""
