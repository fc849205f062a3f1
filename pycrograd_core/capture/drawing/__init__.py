"""Drawings of a program: a graph of boxes and wires, laid out in layers, as SVG or DOT."""
