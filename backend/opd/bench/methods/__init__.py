"""Methods against each other: one task, one student, the same prompts, steps and seeds; what is left is the method.

catalogue.py   the rows of the table and the trials they are read from; a new method is an entry there
lab.py         what a trial may use: models, a teacher behind HTTP, a folder
trials.py      runs a trial as a person would, in a process of its own, and keeps its result
bench.py       every trial of the chosen rows, with every seed
table.py       results of all seeds to rows and differences with intervals, as JSON and Markdown
picture.py     rows to SVG
document.py    the files: JSON, pictures, and the tables in a page; docs/methods-benchmark.md is one
"""
