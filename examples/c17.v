// c17, the smallest circuit of the ISCAS-85 benchmarks (Brglez and Fujiwara, 1985): rdahw faults examples/c17.v
module c17(input n1, n2, n3, n6, n7, output n22, n23);
  wire n10, n11, n16, n19;
  nand(n10, n1, n3);
  nand(n11, n3, n6);
  nand(n16, n2, n11);
  nand(n19, n11, n7);
  nand(n22, n10, n16);
  nand(n23, n16, n19);
endmodule
