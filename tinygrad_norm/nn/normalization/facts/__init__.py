"""What is known of each normalization, as data: for the docs, the certifier and the tests.

    catalogue.py  every one, and one to try   forms.py  for images and volumes, and lazy
    invariances.py  what each does not see    table.py  all of it as the table of the docs
    equivalence.py, equivalence_table.py      which equals which, and when

Not imported with the package.
"""
