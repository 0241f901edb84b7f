"""What is known of each normalization, as data: for the docs, the certifier and the tests.

    catalogue.py  every one, and one to try   invariances.py  what it does not see
    equivalence.py, equivalence_table.py      which equals which, and when

Not imported with the package.
"""
