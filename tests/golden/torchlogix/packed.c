// Auto-generated circuit - do not edit
// Gate IDs 0..63 are inputs, 64..207 are gates

#include <stdbool.h>
#include <stdint.h>

// Input shape:  [1, 64]
// Output shape: [10]
// n_inputs=64  n_gates=144  n_outputs=10  pack_bits=32

void circuit(
    const uint32_t in[64],
    float   out[320])
{
    uint32_t g65 = (in[21] & in[26]);
    uint32_t g66 = (in[26] & in[37]);
    uint32_t g67 = (in[36] & in[37]);
    uint32_t g68 = (in[10] & in[18]);
    uint32_t g77 = (in[34] & ~in[35]);
    uint32_t g79 = (in[25] & ~in[9]);
    uint32_t g99 = (in[17] & ~in[0]);
    uint32_t g100 = (in[53] & ~in[34]);
    uint32_t g102 = (in[51] & ~in[9]);
    uint32_t g103 = (in[26] & ~in[40]);
    uint32_t g104 = (in[6] & ~in[41]);
    uint32_t g105 = (in[42] & ~in[23]);
    uint32_t g106 = (in[43] & ~in[48]);
    uint32_t g107 = (in[50] & ~in[32]);
    uint32_t g109 = (in[46] & ~in[22]);
    uint32_t g110 = (in[2] & ~in[40]);
    uint32_t g111 = (in[6] & ~in[31]);
    uint32_t g112 = (in[36] & ~in[1]);
    uint32_t g115 = (in[44] & ~in[62]);
    uint32_t g116 = (in[37] & ~in[8]);
    uint32_t g119 = (in[22] | in[29]);
    uint32_t g121 = (in[20] | in[49]);
    uint32_t g122 = (in[30] | in[42]);
    uint32_t g124 = (in[6] | in[14]);
    uint32_t g126 = (in[35] | in[41]);
    uint32_t g127 = (in[14] | in[38]);
    uint32_t g129 = (in[1] | in[52]);
    uint32_t g137 = ~(in[0] | in[2]);
    uint32_t g139 = ~(in[20] | in[24]);
    uint32_t g140 = ~(in[12] | in[63]);
    uint32_t g145 = ~(in[16] | in[34]);
    uint32_t g149 = ~in[38];
    uint32_t g150 = ~in[37];
    uint32_t g152 = ~in[42];
    uint32_t g153 = ~in[44];
    uint32_t g165 = (in[52] & ~in[2]);
    uint32_t g166 = (in[20] & ~in[59]);
    uint32_t g181 = ~(in[20] & ~in[45]);
    uint32_t g287 = ~in[27];

    // --- raw packed inputs to sum reductions ---
    uint32_t raw[150];
    raw[0] = ~(in[15] | in[35]);
    raw[1] = in[29];
    raw[2] = (in[3] & g137);
    raw[3] = ~(in[8] | in[43]);
    raw[4] = ~(in[15] | in[28]);
    raw[5] = (g66 & g102);
    raw[6] = g119;
    raw[7] = ~(in[51] ^ in[52]);
    raw[8] = g103;
    raw[9] = g79;
    raw[10] = g77;
    raw[11] = (in[3] & ~g112);
    raw[12] = ~in[35];
    raw[13] = in[29];
    raw[14] = in[12];
    raw[15] = ~(in[30] | in[57]);
    raw[16] = in[52];
    raw[17] = g166;
    raw[18] = ~(in[7] | g153);
    raw[19] = (in[12] ^ in[53]);
    raw[20] = in[28];
    raw[21] = in[48];
    raw[22] = (in[35] & ~in[56]);
    raw[23] = (g137 & ~g77);
    raw[24] = (in[28] & in[36]);
    raw[25] = ~(in[14] | g116);
    raw[26] = ~(in[4] | in[16]);
    raw[27] = (in[5] & ~in[0]);
    raw[28] = g165;
    raw[29] = ~(in[38] | in[56]);
    raw[30] = g68;
    raw[31] = in[62];
    raw[32] = ~(in[19] | in[21]);
    raw[33] = (in[43] & ~g109);
    raw[34] = in[55];
    raw[35] = (in[17] & ~in[22]);
    raw[36] = (in[10] & ~in[41]);
    raw[37] = (in[28] & ~in[26]);
    raw[38] = g126;
    raw[39] = in[61];
    raw[40] = ~(g119 & ~(in[54] & ~in[38]));
    raw[41] = (in[59] & ~in[19]);
    raw[42] = in[52];
    raw[43] = ~in[45];
    raw[44] = g287;
    raw[45] = (in[28] & g100);
    raw[46] = in[0];
    raw[47] = g152;
    raw[48] = ~(g104 | g111);
    raw[49] = g121;
    raw[50] = in[60];
    raw[51] = (g110 & ~g106);
    raw[52] = (g112 & ~in[44]);
    raw[53] = in[13];
    raw[54] = (in[2] & ~in[30]);
    raw[55] = (g109 & ~in[30]);
    raw[56] = in[10];
    raw[57] = (in[61] & ~in[24]);
    raw[58] = g145;
    raw[59] = (in[13] & ~in[32]);
    raw[60] = (g67 & g165);
    raw[61] = ~in[12];
    raw[62] = (in[44] & g66);
    raw[63] = (g129 & g139);
    raw[64] = (in[26] & in[36]);
    raw[65] = g115;
    raw[66] = ~in[9];
    raw[67] = g122;
    raw[68] = ~(g181 & ~g105);
    raw[69] = in[33];
    raw[70] = ~in[61];
    raw[71] = in[19];
    raw[72] = (g126 & ~in[16]);
    raw[73] = (in[32] | g79);
    raw[74] = ~(~(in[27] & ~in[21]) & in[12]);
    raw[75] = (in[47] | g139);
    raw[76] = g99;
    raw[77] = ((in[4] & ~in[1]) & ~in[33]);
    raw[78] = in[5];
    raw[79] = in[2];
    raw[80] = g68;
    raw[81] = in[18];
    raw[82] = g124;
    raw[83] = ~(in[61] | ~(in[3] & ~in[22]));
    raw[84] = in[9];
    raw[85] = (g100 ^ g145);
    raw[86] = ~(g67 & ~in[1]);
    raw[87] = ~g105;
    raw[88] = ~(in[37] & in[43]);
    raw[89] = in[59];
    raw[90] = (in[18] & in[36]);
    raw[91] = (in[60] & ~in[57]);
    raw[92] = (in[19] | g103);
    raw[93] = (~in[12] & in[61]);
    raw[94] = g107;
    raw[95] = (g149 & ~in[44]);
    raw[96] = g102;
    raw[97] = ((in[33] | in[45]) & (in[19] & ~in[14]));
    raw[98] = g116;
    raw[99] = in[18];
    raw[100] = in[46];
    raw[101] = ((in[34] & in[54]) & ~in[15]);
    raw[102] = ~g121;
    raw[103] = (in[35] & in[36]);
    raw[104] = ~(g99 | g124);
    raw[105] = in[38];
    raw[106] = (in[30] | g127);
    raw[107] = (~(in[11] & in[50]) & ~in[53]);
    raw[108] = ~in[60];
    raw[109] = in[36];
    raw[110] = ~in[18];
    raw[111] = in[51];
    raw[112] = ~(in[58] ^ g65);
    raw[113] = ~in[19];
    raw[114] = g111;
    raw[115] = g104;
    raw[116] = g115;
    raw[117] = g287;
    raw[118] = g287;
    raw[119] = (in[35] & (in[4] & ~in[62]));
    raw[120] = g106;
    raw[121] = g149;
    raw[122] = ~g129;
    raw[123] = in[18];
    raw[124] = ~(in[57] | g153);
    raw[125] = (g107 & g150);
    raw[126] = in[39];
    raw[127] = in[4];
    raw[128] = (~g166 & ~g127);
    raw[129] = g140;
    raw[130] = (in[60] & ~in[54]);
    raw[131] = ~(in[3] ^ in[17]);
    raw[132] = in[16];
    raw[133] = ~(in[22] | in[33]);
    raw[134] = (g150 & ~g110);
    raw[135] = ~(in[42] & g122);
    raw[136] = g65;
    raw[137] = g152;
    raw[138] = g140;
    raw[139] = in[23];
    raw[140] = ~(in[44] | (in[11] & in[58]));
    raw[141] = (in[27] & ~in[9]);
    raw[142] = (in[17] & ~in[63]);
    raw[143] = ~in[36];
    raw[144] = ~(in[2] ^ in[16]);
    raw[145] = (in[13] & ~(in[0] | in[43]));
    raw[146] = in[29];
    raw[147] = (g181 & ~in[0]);
    raw[148] = in[29];
    raw[149] = ~(in[35] & ~in[53]);

    // --- outputs: sample p at out[p * 10 + j] ---
    for (int p = 0; p < 32; p++) {
        {
            int s = 0;
            for (int i = 0; i < 15; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 0] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 15; i < 30; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 1] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 30; i < 45; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 2] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 45; i < 60; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 3] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 60; i < 75; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 4] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 75; i < 90; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 5] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 90; i < 105; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 6] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 105; i < 120; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 7] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 120; i < 135; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 8] = ((float)s + 0.0f) / 4.0f;
        }
        {
            int s = 0;
            for (int i = 135; i < 150; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 10 + 9] = ((float)s + 0.0f) / 4.0f;
        }
    }
}

void circuit_bench(
    const uint32_t in[64],
    float   out[320],
    int           n_iter)
{
    for (int i = 0; i < n_iter; i++)
        circuit(in + i * 64, out + i * 320);
}


// Packs raw bool input, runs packed circuit, unpacks output - no Python packing needed.
void circuit_bench_bool(
    const bool   *in_bool,  // (batch_size, 64) bool, row-major
    float  *out,  // (batch_size, 10) float, row-major
    int           batch_size)
{
    int n_iter = batch_size / 32;
    uint32_t packed_in[64];
    float packed_out[320];

    for (int iter = 0; iter < n_iter; iter++) {

        // Pack 32 bool samples per input wire into one uint32_t word
        for (int k = 0; k < 64; k++) {
            uint32_t w = (uint32_t)0;
            for (int b = 0; b < 32; b++)
                w |= (uint32_t)in_bool[(iter * 32 + b) * 64 + k] << b;
            packed_in[k] = w;
        }

        circuit(packed_in, packed_out);

        // Copy per-sample outputs (already unpacked by circuit)
        for (int b = 0; b < 32; b++)
            for (int j = 0; j < 10; j++)
                out[(iter * 32 + b) * 10 + j] =
                    packed_out[b * 10 + j];
    }
}