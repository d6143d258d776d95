// A page with a list, whose method `load(page)` sets `page` and `hasMore`: read again when it is pulled down,
// and on when its end is reached.

module.exports = Behavior({
  methods: {
    async onPullDownRefresh() {
      await this.load();
      wx.stopPullDownRefresh();
    },

    async onReachBottom() {
      if (!this.hasMore || this.isReading) return;
      this.isReading = true;
      await this.load(this.page + 1);
      this.isReading = false;
    },
  },
});
