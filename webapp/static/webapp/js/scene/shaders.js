// GLSL ES 3.00. The march works in voxel units; what it gives is averaged over a few jittered frames, then laid on the canvas.

export const CHANNELS = ["colour", "depth", "density", "normals"];
export const BLOCK = 4; // voxels a side of the cells that are skipped when empty

export const SCREEN = /* glsl */ `
in vec3 position;
out vec2 at; // -1 to 1
void main() { at = position.xy; gl_Position = vec4(position.xy, 0.0, 1.0); }`;

/* Emission and absorption (Max 1995, eq. 6): C = sum_i T_i a_i c_i with T_i = prod_{j<i} (1 - a_j). The opacity A of a voxel
   is that of one voxel length, so a step of s voxels has a = 1 - (1 - A)^s. Colour comes premultiplied: interpolated so, the
   colour of empty voxels does not bleed into the edges. */
export const MARCH = /* glsl */ `
precision highp float;
precision highp sampler3D;
uniform sampler3D volume, leap;
uniform vec3 grid, low, high, eye, forward, right, up, sky;
uniform vec3 ramp[6];
uniform vec2 size, shift;
uniform float stride, phase, reach, isSky, isLit, gain, thickness;
uniform int channel;
in vec2 at;
out vec4 result; // colour, and the distance of the surface as a share of reach

vec3 ramped(float value) {
  float place = clamp(value, 0.0, 1.0) * 5.0;
  int index = min(int(place), 4);
  return mix(ramp[index], ramp[index + 1], place - float(index));
}

vec3 background(vec3 ray) {
  float corner = exp(-dot(at, at) * 0.7);
  if (channel != 0 || isSky < 0.5) return mix(vec3(0.027, 0.038, 0.033), vec3(0.068, 0.09, 0.078), corner);
  vec3 above = mix(sky, sky * vec3(0.52, 0.58, 0.7), smoothstep(0.02, 0.8, ray.z));
  vec3 below = mix(sky * 0.86, mix(sky * 0.22, sky * 0.66, corner), smoothstep(0.0, 0.3, -ray.z));
  return ray.z > 0.0 ? above : below;
}

// Interleaved gradient noise (Jimenez 2014): neighbours differ most, so what is left of it looks like grain, not like bands.
float noise(vec2 pixel) { return fract(52.9829189 * fract(dot(pixel, vec2(0.06711056, 0.00583715)))); }

float opacity(vec3 place) { return textureLod(volume, place / grid, 0.0).a; }

vec3 normal(vec3 place, vec3 fallback) {
  vec2 e = vec2(1.0, 0.0);
  vec3 slope = vec3(opacity(place + e.xyy) - opacity(place - e.xyy), opacity(place + e.yxy) - opacity(place - e.yxy),
                    opacity(place + e.yyx) - opacity(place - e.yyx));
  return length(slope) > 0.02 ? -normalize(slope) : fallback;
}

void main() {
  vec2 sub = at + shift / size;
  vec3 ray = normalize(forward + sub.x * right + sub.y * up);
  ray += vec3(equal(ray, vec3(0.0))) * 1e-6;
  vec3 inverse = 1.0 / ray, first = min((low - eye) * inverse, (high - eye) * inverse), last = max((low - eye) * inverse, (high - eye) * inverse);
  float near = max(max(first.x, first.y), max(first.z, 0.0)), far = min(last.x, min(last.y, last.z));
  vec3 entered = -sign(ray) * (first.x >= near ? vec3(1, 0, 0) : first.y >= near ? vec3(0, 1, 0) : vec3(0, 0, 1));
  vec3 colour = vec3(0.0);
  float clear = 1.0, optical = 0.0, surface = -1.0, nearest = -1.0;
  float begin = near + stride * fract(noise(gl_FragCoord.xy) + phase), t = begin;
  ivec3 most = textureSize(leap, 0) - 1, known = ivec3(-1);
  for (int i = 0; i < 2048 && t < far; i++) {
    vec3 place = eye + t * ray;
    ivec3 block = clamp(ivec3(place) / ${BLOCK}, ivec3(0), most);
    if (block != known) {
      float empty = texelFetch(leap, block, 0).r * 255.0;
      if (empty > 0.5) { // to the side of the empty cube around this block, on the same ladder of steps
        vec3 from = (vec3(block) - (empty - 1.0)) * ${BLOCK}.0, to = (vec3(block) + empty) * ${BLOCK}.0;
        vec3 leave = max((from - place) * inverse, (to - place) * inverse);
        float jump = max(min(leave.x, min(leave.y, leave.z)), 0.0) + 0.01;
        t = begin + ceil((t + jump - begin) / stride) * stride;
        continue;
      }
      known = block;
    }
    vec4 found = textureLod(volume, place / grid, 0.0);
    if (found.a > 0.002) {
      float left = log2(max(1.0 - found.a, 0.0005)) * stride, passed = exp2(left);
      optical -= left * 0.6931472;
      colour += clear * (1.0 - passed) / found.a * found.rgb;
      clear *= passed;
      if (nearest < 0.0 && clear < 0.95) nearest = t;
      if (surface < 0.0 && clear < 0.5) surface = t;
      if (clear < 0.008 && channel != 2) break;
    }
    t += stride;
  }
  if (surface < 0.0 && clear < 0.7) surface = nearest;
  vec3 behind = background(ray);
  float seen = 1.0 - clear;
  if (channel == 0) {
    if (isLit > 0.5 && surface >= 0.0) { // light from above and a little from one side
      vec3 facing = normal(eye + surface * ray, entered);
      colour *= 0.62 + 0.5 * max(dot(facing, vec3(0.36, -0.48, 0.8)), 0.0);
    }
    colour = 1.0 - pow(1.0 - min(colour, 1.0), vec3(gain)); // brighter without clipping
    colour += clear * behind;
  }
  else if (channel == 1) colour = mix(behind, ramped(1.0 - sqrt(clamp((surface < 0.0 ? nearest : surface) / reach, 0.0, 1.0))), smoothstep(0.05, 0.6, seen));
  else if (channel == 2) colour = mix(behind, ramped(1.0 - exp(-optical / thickness)), smoothstep(0.0, 0.6, optical));
  else colour = surface < 0.0 ? behind : mix(behind, 0.5 + 0.5 * normal(eye + surface * ray, entered), seen);
  result = vec4(colour, surface < 0.0 ? 1.0 : clamp(surface / reach, 0.0, 1.0));
}`;

/* Laying the picture on the canvas: stretched smoothly, with a grain of half a step of 8 bits against bands in the sky. */
export const SHOW = /* glsl */ `
precision highp float;
uniform sampler2D picture;
in vec2 at;
out vec4 result;
void main() {
  vec3 colour = texture(picture, at * 0.5 + 0.5).rgb;
  float grain = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715)))) - 0.5;
  result = vec4(colour + grain / 255.0, 1.0);
}`;

/* Lines of a width in pixels, faint where the scene hides them. Each is a quad; an end behind the eye is moved to before it. */
export const LINE = {
  vertex: /* glsl */ `
in vec3 position;
in vec3 from, to;
in vec4 tint;
uniform mat4 projectionMatrix, modelViewMatrix;
uniform vec2 size;
uniform float width;
out vec4 colour;
out float side;
out float range;
void main() {
  vec3 a = (modelViewMatrix * vec4(from, 1.0)).xyz, b = (modelViewMatrix * vec4(to, 1.0)).xyz;
  const float NEAR = -0.06;
  if (a.z > NEAR && b.z < NEAR) a = mix(a, b, (a.z - NEAR) / (a.z - b.z));
  if (b.z > NEAR && a.z < NEAR) b = mix(b, a, (b.z - NEAR) / (b.z - a.z));
  vec3 here = mix(a, b, position.x);
  vec4 p = projectionMatrix * vec4(a, 1.0), q = projectionMatrix * vec4(b, 1.0), place = projectionMatrix * vec4(here, 1.0);
  vec2 direction = (q.xy / q.w - p.xy / p.w) * size;
  vec2 across = normalize(vec2(-direction.y, direction.x) + 1e-6);
  place.xy += across * position.y * (width + 1.0) / size * place.w;
  side = position.y * (width + 1.0);
  colour = tint;
  range = length(here);
  gl_Position = a.z > NEAR && b.z > NEAR ? vec4(2.0, 2.0, 2.0, 1.0) : place;
}`,
  fragment: /* glsl */ `
precision highp float;
uniform sampler2D picture;
uniform vec2 size;
uniform float width, reach, hidden;
in vec4 colour;
in float side;
in float range;
out vec4 result;
void main() {
  float scene = texture(picture, gl_FragCoord.xy / size).a * reach;
  float shown = range > scene + 1.0 ? hidden : 1.0;
  float edge = clamp((width + 1.0 - abs(side)) * 0.75, 0.0, 1.0);
  result = vec4(colour.rgb, colour.a * shown * edge);
}`,
};
