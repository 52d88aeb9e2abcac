// Auto-generated circuit - do not edit
// Gate IDs 0..63 are inputs, 64..207 are gates

#include <stdbool.h>
#include <stdint.h>

// Input shape:  [1, 64]
// Output shape: [10]
// n_inputs=64  n_gates=144  n_outputs=10

void circuit(
    const bool in[64],
    float   out[10])
{
    bool g65 = (in[21] & in[26]);
    bool g66 = (in[26] & in[37]);
    bool g67 = (in[36] & in[37]);
    bool g68 = (in[10] & in[18]);
    bool g69 = (in[34] & in[54]);
    bool g70 = (in[11] & in[58]);
    bool g76 = (in[17] & !in[63]);
    bool g77 = (in[34] & !in[35]);
    bool g78 = (in[54] & !in[38]);
    bool g79 = (in[25] & !in[9]);
    bool g80 = (in[10] & !in[41]);
    bool g99 = (in[17] & !in[0]);
    bool g100 = (in[53] & !in[34]);
    bool g101 = (in[61] & !in[24]);
    bool g102 = (in[51] & !in[9]);
    bool g103 = (in[26] & !in[40]);
    bool g104 = (in[6] & !in[41]);
    bool g105 = (in[42] & !in[23]);
    bool g106 = (in[43] & !in[48]);
    bool g107 = (in[50] & !in[32]);
    bool g108 = (in[5] & !in[0]);
    bool g109 = (in[46] & !in[22]);
    bool g110 = (in[2] & !in[40]);
    bool g111 = (in[6] & !in[31]);
    bool g112 = (in[36] & !in[1]);
    bool g113 = (in[2] & !in[30]);
    bool g114 = (in[4] & !in[1]);
    bool g115 = (in[44] & !in[62]);
    bool g116 = (in[37] & !in[8]);
    bool g117 = (in[12] ^ in[53]);
    bool g119 = (in[22] | in[29]);
    bool g121 = (in[20] | in[49]);
    bool g122 = (in[30] | in[42]);
    bool g123 = (in[33] | in[45]);
    bool g124 = (in[6] | in[14]);
    bool g126 = (in[35] | in[41]);
    bool g127 = (in[14] | in[38]);
    bool g129 = (in[1] | in[52]);
    bool g137 = (!(in[0] | in[2]));
    bool g138 = (!g129);
    bool g139 = (!(in[20] | in[24]));
    bool g140 = (!(in[12] | in[63]));
    bool g141 = (!(in[8] | in[43]));
    bool g142 = (!(in[0] | in[43]));
    bool g143 = (!(in[30] | in[57]));
    bool g145 = (!(in[16] | in[34]));
    bool g147 = (!(in[3] ^ in[17]));
    bool g149 = (!in[38]);
    bool g150 = (!in[37]);
    bool g152 = (!in[42]);
    bool g153 = (!in[44]);
    bool g161 = (in[17] & !in[22]);
    bool g162 = (in[27] & !in[9]);
    bool g163 = (in[4] & !in[62]);
    bool g164 = (in[3] & !in[22]);
    bool g165 = (in[52] & !in[2]);
    bool g166 = (in[20] & !in[59]);
    bool g167 = (in[19] & !in[14]);
    bool g173 = (!g166);
    bool g178 = (in[27] & !in[21]);
    bool g179 = (in[20] & !in[45]);
    bool g181 = (!g179);
    bool g186 = (!(in[37] & in[43]));
    bool g187 = (!(in[11] & in[50]));
    bool g188 = (in[3] & g137);
    bool g189 = (g66 & g102);
    bool g190 = (in[28] & in[36]);
    bool g191 = (in[28] & g100);
    bool g192 = (in[44] & g66);
    bool g193 = (in[26] & in[36]);
    bool g194 = (in[18] & in[36]);
    bool g195 = ((!in[12]) & in[61]);
    bool g196 = (in[35] & in[36]);
    bool g197 = (g107 & g150);
    bool g198 = (in[13] & g142);
    bool g214 = (in[3] & !g112);
    bool g215 = (g137 & !g77);
    bool g216 = (in[43] & !g109);
    bool g217 = (g110 & !g106);
    bool g218 = (g112 & !in[44]);
    bool g219 = (g109 & !in[30]);
    bool g220 = (g67 & g165);
    bool g221 = (g129 & g139);
    bool g222 = (g126 & !in[16]);
    bool g223 = (g114 & !in[33]);
    bool g224 = (g123 & g167);
    bool g225 = (g69 & !in[15]);
    bool g226 = (g187 & !in[53]);
    bool g227 = (in[35] & g163);
    bool g228 = (g173 & !g127);
    bool g238 = (in[35] & !in[56]);
    bool g239 = (in[28] & !in[26]);
    bool g240 = (in[59] & !in[19]);
    bool g241 = (in[13] & !in[32]);
    bool g242 = (in[60] & !in[57]);
    bool g243 = (g149 & !in[44]);
    bool g244 = (in[60] & !in[54]);
    bool g245 = (g150 & !g110);
    bool g246 = (g181 & !in[0]);
    bool g247 = (g100 ^ g145);
    bool g248 = (in[32] | g79);
    bool g249 = (in[47] | g139);
    bool g250 = (in[19] | g103);
    bool g251 = (in[30] | g127);
    bool g260 = (in[61] | !g164);
    bool g265 = (!(in[15] | in[35]));
    bool g266 = (!(in[15] | in[28]));
    bool g267 = (!(in[7] | g153));
    bool g268 = (!(in[14] | g116));
    bool g269 = (!(in[4] | in[16]));
    bool g270 = (!(in[38] | in[56]));
    bool g271 = (!(in[19] | in[21]));
    bool g272 = (!(g104 | g111));
    bool g273 = (!g260);
    bool g274 = (!g105);
    bool g275 = (!(g99 | g124));
    bool g276 = (!(in[57] | g153));
    bool g277 = (!(in[44] | g70));
    bool g281 = (!(in[51] ^ in[52]));
    bool g282 = (!(in[58] ^ g65));
    bool g283 = (!(in[2] ^ in[16]));
    bool g287 = (!in[27]);
    bool g288 = (!in[9]);
    bool g290 = (!g121);
    bool g291 = (!in[18]);
    bool g292 = (!in[19]);
    bool g295 = (!(in[22] | in[33]));
    bool g297 = (!in[36]);
    bool g300 = (!(in[42] & g122));
    bool g301 = (!in[35]);
    bool g302 = (!in[45]);
    bool g303 = (!in[12]);
    bool g304 = (!in[61]);
    bool g305 = (!in[60]);
    bool g311 = (g119 & !g78);
    bool g312 = (g181 & !g105);
    bool g313 = ((!g178) & in[12]);
    bool g314 = (g67 & !in[1]);
    bool g315 = (in[35] & !in[53]);
    bool g316 = (!g311);
    bool g317 = (!g312);
    bool g318 = (!g313);
    bool g319 = (!g314);
    bool g320 = (!g315);

    // --- raw inputs to sum reductions ---
    bool raw[150];
    raw[0] = g265;
    raw[1] = in[29];
    raw[2] = g188;
    raw[3] = g141;
    raw[4] = g266;
    raw[5] = g189;
    raw[6] = g119;
    raw[7] = g281;
    raw[8] = g103;
    raw[9] = g79;
    raw[10] = g77;
    raw[11] = g214;
    raw[12] = g301;
    raw[13] = in[29];
    raw[14] = in[12];
    raw[15] = g143;
    raw[16] = in[52];
    raw[17] = g166;
    raw[18] = g267;
    raw[19] = g117;
    raw[20] = in[28];
    raw[21] = in[48];
    raw[22] = g238;
    raw[23] = g215;
    raw[24] = g190;
    raw[25] = g268;
    raw[26] = g269;
    raw[27] = g108;
    raw[28] = g165;
    raw[29] = g270;
    raw[30] = g68;
    raw[31] = in[62];
    raw[32] = g271;
    raw[33] = g216;
    raw[34] = in[55];
    raw[35] = g161;
    raw[36] = g80;
    raw[37] = g239;
    raw[38] = g126;
    raw[39] = in[61];
    raw[40] = g316;
    raw[41] = g240;
    raw[42] = in[52];
    raw[43] = g302;
    raw[44] = g287;
    raw[45] = g191;
    raw[46] = in[0];
    raw[47] = g152;
    raw[48] = g272;
    raw[49] = g121;
    raw[50] = in[60];
    raw[51] = g217;
    raw[52] = g218;
    raw[53] = in[13];
    raw[54] = g113;
    raw[55] = g219;
    raw[56] = in[10];
    raw[57] = g101;
    raw[58] = g145;
    raw[59] = g241;
    raw[60] = g220;
    raw[61] = g303;
    raw[62] = g192;
    raw[63] = g221;
    raw[64] = g193;
    raw[65] = g115;
    raw[66] = g288;
    raw[67] = g122;
    raw[68] = g317;
    raw[69] = in[33];
    raw[70] = g304;
    raw[71] = in[19];
    raw[72] = g222;
    raw[73] = g248;
    raw[74] = g318;
    raw[75] = g249;
    raw[76] = g99;
    raw[77] = g223;
    raw[78] = in[5];
    raw[79] = in[2];
    raw[80] = g68;
    raw[81] = in[18];
    raw[82] = g124;
    raw[83] = g273;
    raw[84] = in[9];
    raw[85] = g247;
    raw[86] = g319;
    raw[87] = g274;
    raw[88] = g186;
    raw[89] = in[59];
    raw[90] = g194;
    raw[91] = g242;
    raw[92] = g250;
    raw[93] = g195;
    raw[94] = g107;
    raw[95] = g243;
    raw[96] = g102;
    raw[97] = g224;
    raw[98] = g116;
    raw[99] = in[18];
    raw[100] = in[46];
    raw[101] = g225;
    raw[102] = g290;
    raw[103] = g196;
    raw[104] = g275;
    raw[105] = in[38];
    raw[106] = g251;
    raw[107] = g226;
    raw[108] = g305;
    raw[109] = in[36];
    raw[110] = g291;
    raw[111] = in[51];
    raw[112] = g282;
    raw[113] = g292;
    raw[114] = g111;
    raw[115] = g104;
    raw[116] = g115;
    raw[117] = g287;
    raw[118] = g287;
    raw[119] = g227;
    raw[120] = g106;
    raw[121] = g149;
    raw[122] = g138;
    raw[123] = in[18];
    raw[124] = g276;
    raw[125] = g197;
    raw[126] = in[39];
    raw[127] = in[4];
    raw[128] = g228;
    raw[129] = g140;
    raw[130] = g244;
    raw[131] = g147;
    raw[132] = in[16];
    raw[133] = g295;
    raw[134] = g245;
    raw[135] = g300;
    raw[136] = g65;
    raw[137] = g152;
    raw[138] = g140;
    raw[139] = in[23];
    raw[140] = g277;
    raw[141] = g162;
    raw[142] = g76;
    raw[143] = g297;
    raw[144] = g283;
    raw[145] = g198;
    raw[146] = in[29];
    raw[147] = g246;
    raw[148] = in[29];
    raw[149] = g320;

    // --- outputs ---
    {
        int s = 0;
        for (int i = 0; i < 15; i++) s += (int)raw[i];
        out[0] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 15; i < 30; i++) s += (int)raw[i];
        out[1] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 30; i < 45; i++) s += (int)raw[i];
        out[2] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 45; i < 60; i++) s += (int)raw[i];
        out[3] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 60; i < 75; i++) s += (int)raw[i];
        out[4] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 75; i < 90; i++) s += (int)raw[i];
        out[5] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 90; i < 105; i++) s += (int)raw[i];
        out[6] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 105; i < 120; i++) s += (int)raw[i];
        out[7] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 120; i < 135; i++) s += (int)raw[i];
        out[8] = ((float)s + 0.0f) / 4.0f;
    }
    {
        int s = 0;
        for (int i = 135; i < 150; i++) s += (int)raw[i];
        out[9] = ((float)s + 0.0f) / 4.0f;
    }
}

void circuit_bench(
    const bool in[64],
    float   out[10],
    int           n_iter)
{
    for (int i = 0; i < n_iter; i++)
        circuit(in + i * 64, out + i * 10);
}

