#!/usr/bin/env python3
"""Compares the commands of posthornctl(8) with those of the program, and those that other pages name: commands_test.py POSTHORNCTL MANUAL PAGE..."""
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


def named_on(path, program):
    """What pages in Markdown tell people to type."""
    known = {' '.join(word for word in line.split() if word.islower() and not word.startswith('[')) for line in program}
    with open(path, encoding='utf-8') as file:
        named = re.findall(r'(?:`|^ {4}.*)posthornctl(?: -[^\s`]+)* ([a-z][a-z-]*)(?: ([a-z][a-z-]*)(?![\w@./=-]))?', file.read(), re.MULTILINE)
    return [f'{path}: no command {first} {second}' for first, second in named
            if first not in known and f'{first} {second}' not in known and not any(first == command.split()[0] and not second for command in known)]


def main():
    program, manual = of_program(sys.argv[1]), of_manual(sys.argv[2])
    missing = [f'not in the manual: {line}' for line in program if line not in manual]
    wrong = [f'in the manual only: {line}' for line in manual if line not in program]
    twice = [f'twice in the manual: {line}' for line in set(manual) if manual.count(line) > 1]
    unknown = [problem for path in sys.argv[3:] for problem in named_on(path, program)]
    for problem in missing + wrong + twice + unknown:
        print(problem)
    return 1 if not program or missing or wrong or twice or unknown else 0


if __name__ == '__main__':
    sys.exit(main())
