/* SPDX-License-Identifier: MIT
 *
 * assets_none.c - takes the place of the generated table when the program is built without the page (meson -Dweb=false,
 * or no Node there).
 */
#include "serve/assets.h"

const struct asset *assets_compiled(size_t *ret_count)
{
    *ret_count = 0;
    return NULL;
}
