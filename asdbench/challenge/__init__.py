"""The files of DCASE Task 2: anybody's scores and decisions read and evaluated, and those of runs written."""
