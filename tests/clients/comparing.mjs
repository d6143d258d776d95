// What two pictures of one room must have in common.

/** A room's data without what is not numbered: the counts and the URLs' signatures. */
export function comparable({ audience_count, num_list, ...room }) {
  for (const name of ["owner", "male", "female"]) {
    if (room[name]) room[name] = { ...room[name], play_url: room[name].play_url.split("?")[0] };
  }
  return room;
}
