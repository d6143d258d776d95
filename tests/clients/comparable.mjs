// The part of a room's state that two clients must agree on.

/** A room's data without counts and URL signatures, which no numbered event changes. */
export function comparable({ audience_count, num_list, ...room }) {
  for (const name of ["owner", "male", "female"]) {
    if (room[name]) room[name] = { ...room[name], play_url: room[name].play_url.split("?")[0] };
  }
  return room;
}
