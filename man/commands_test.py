#!/usr/bin/env python3
"""Compares the commands of posthornctl(8) with those of the program: commands_test.py POSTHORNCTL MANUAL"""
import re
import subprocess
import sys


def of_program(program):
    output = subprocess.run([program, '--commands'], check=True, capture_output=True, text=True).stdout
    return [line.replace('\t', ' ').strip() for line in output.splitlines()]


def of_manual(path):
    with open(path, encoding='utf-8') as file:
        items = re.findall(r'^\.It (Ic .*)$', file.read(), re.MULTILINE)
    return [' '.join(word for word in item.split() if word not in ('Ic', 'Ar')) for item in items]


def main():
    program, manual = of_program(sys.argv[1]), of_manual(sys.argv[2])
    missing = [f'not in the manual: {line}' for line in program if line not in manual]
    wrong = [f'in the manual only: {line}' for line in manual if line not in program]
    twice = [f'twice in the manual: {line}' for line in set(manual) if manual.count(line) > 1]
    for problem in missing + wrong + twice:
        print(problem)
    return 1 if not program or missing or wrong or twice else 0


if __name__ == '__main__':
    sys.exit(main())
